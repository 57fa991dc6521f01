import { readPattern } from "../../../spec/pattern.ts";
import type { Target } from "../target.ts";

const utf8 = (text: string) => Buffer.from(text);

const patternParts = ["a", "[a-c]", "[\\w.-]", "\\d", ".", "b", "\\.", "-", "[x]", "\u00e9"];
const counts = ["", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}"];

/** Patterns: the state machine says the same as an anchored regular expression, but for control characters. */
export const patternTarget: Target = {
  name: "pattern",
  generate(random) {
    const sequence = () =>
      Array.from(
        { length: 1 + random.below(4) },
        () => random.pick(patternParts) + random.pick(counts),
      ).join("");
    const pattern = random.percent(30) ? `${sequence()}|${sequence()}` : sequence();
    const text = random.text("aabbc019.-x_\u00e9 Z\n\u0000", random.below(9));
    return utf8(JSON.stringify([pattern, text]));
  },
  check(input) {
    const [pattern, text] = JSON.parse(Buffer.from(input).toString("utf8")) as [string, string];
    const matches = readPattern(pattern).matches(text);
    const reference =
      new RegExp(`^(?:${pattern})$`, "su").test(text) && !/[^\P{Cc}\t\n]/u.test(text);
    return matches === reference
      ? undefined
      : `${pattern} ${matches ? "takes" : "refuses"} ${JSON.stringify(text)}`;
  },
};
