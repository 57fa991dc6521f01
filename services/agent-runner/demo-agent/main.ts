#!/usr/bin/env node
import { DemoAgent } from "./agent.ts";

// A small, deterministic Agent Client Protocol program without a model: it speaks the protocol on its standard streams.
await new DemoAgent(process.env).serve(process.stdin, process.stdout);
process.exit(0);
