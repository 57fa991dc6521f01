import { type Mutant, mutants } from "./table.ts";
import { type Outcome, Tree } from "./tree.ts";

/**
 * Tries every broken build of the table, two at a time, each in a copy of the project. Ends with exit code 1 where one is
 * caught by no test, or says nothing. Arguments: words of the names of those to try; none: all.
 */

const words = process.argv.slice(2);
const chosen = mutants.filter(
  ({ name, file }) => words.length === 0 || words.some((word) => `${name} ${file}`.includes(word)),
);
const isRoot = process.getuid?.() === 0;
const tried = chosen.filter(({ needs }) => needs !== "root" || isRoot);
const survivors: string[] = [];
const problems: string[] = [];

function tell(name: string, { caughtBy, problem }: Outcome): void {
  if (caughtBy !== undefined) {
    console.log(`caught    ${name}\n            by ${caughtBy}`);
    return;
  }
  (problem === undefined ? survivors : problems).push(name);
  console.log(problem === undefined ? `SURVIVED  ${name}` : `PROBLEM   ${name}: ${problem}`);
}

/** Files that do not pass on the real build show nothing on a broken one. @returns the mutants that are left with tests */
async function withUsableTests(tree: Tree): Promise<Mutant[]> {
  const failing = await tree.failing([...new Set(tried.flatMap(({ tests }) => tests))]);
  for (const [file, why] of failing) {
    console.log(`PROBLEM   ${file} does not pass on the real build: ${why}`);
  }
  return tried.flatMap((mutant) => {
    const tests = mutant.tests.filter((file) => !failing.has(file));
    if (tests.length > 0) return [{ ...mutant, tests }];
    problems.push(mutant.name);
    return [];
  });
}

async function work(tree: Tree, queue: Iterator<Mutant>): Promise<void> {
  for (let next = queue.next(); !next.done; next = queue.next()) {
    tell(next.value.name, await tree.outcome(next.value));
  }
}

const trees = [new Tree(), new Tree()] as const;
try {
  const usable = await withUsableTests(trees[0]);
  const queue = usable[Symbol.iterator]();
  await Promise.all(trees.map((tree) => work(tree, queue)));
  const caught =
    usable.length - survivors.length - (problems.length - (tried.length - usable.length));
  const untried = chosen.length - tried.length;
  const note = untried > 0 ? `; ${untried} not tried: they need root` : "";
  console.log(`mutants: ${caught} of ${tried.length} broken builds are caught${note}`);
  if (tried.length === 0 || caught < tried.length) process.exitCode = 1;
} finally {
  for (const tree of trees) tree.remove();
}
