# Thin lines over the operator's command; see toolchain/README.md for what each installs or writes.
SHELL := /bin/bash
berth := toolchain/bootstrap.sh

.PHONY: help up down env doctor check test test-engines test-contract test-mutants fuzz bench bench-proxy bench-secrets

help:           ## show this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up:             ## everything, on a fresh machine too; ends with an agent's greeting
	@$(berth) up
down:           ## take the stack away; stop the Engine if berth started it
	@$(berth) down
env:            ## the same tools in your shell: eval "$(make -s env)"
	@BERTH_QUIET=1 $(berth) env
doctor:         ## check every precondition and name the cures
	@$(berth) doctor
check:          ## types, lint, unused code, fast tests
	@$(berth) check
test:           ## every suite, real Engine and real `pulumi up` included
	@$(berth) test
test-engines:   ## the real-run suite on the oldest and the newest Engine
	@$(berth) test-engines
test-contract:  ## the chat server's contract suite against MATTERMOST_URL
	@$(berth) test-contract
test-mutants:   ## take out one control of the socket proxy at a time; a test must fail
	@$(berth) test-mutants
fuzz:           ## a million random connections to the socket proxy
	@$(berth) fuzz
bench:          ## measurements, each beside its baseline
	@$(berth) bench
bench-proxy:    ## the socket proxy beside the Engine itself and HAProxy
	@$(berth) bench proxy
bench-secrets:  ## the secret store beside a client that asks for each secret by itself
	@$(berth) bench secrets
