/** What looks like a live secret in a text. For what people commit by mistake, not for what somebody hides. */

/** Well-known forms, by name. A form needs as many characters as a real one has: examples in a text are shorter. */
const forms: Readonly<Record<string, RegExp>> = {
  "1Password service account token": /\bops_[A-Za-z0-9_+/=-]{40,}/,
  "GitHub token": /\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{22,}/,
  "GitLab token": /\bglpat-[A-Za-z0-9_-]{20}/,
  "npm token": /\bnpm_[A-Za-z0-9]{36}/,
  "Slack token": /\bxox[abeprs]-[A-Za-z0-9-]{10,}/,
  "AWS access key": /\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b/,
  "Google API key": /\bAIza[0-9A-Za-z_-]{35}/,
  "model provider's key": /(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,}/,
  "private key": /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\\r|\\n|\s)*[A-Za-z0-9+/=]{20}/,
  "JSON Web Token": /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/,
};

const word =
  "(?:secret|token|password|passwd|passphrase|credential|api_?key|access_?key|private_?key)s?";
/** `API_KEY = "…"`, `"apiKey": "…"`, `token: '…'`, and `API_KEY=…` as the whole line. */
const assignments = [
  new RegExp(`${word}["']?\\s*[:=]\\s*["'\`]([A-Za-z0-9+/_.=~-]{20,})["'\`]`, "gi"),
  new RegExp(`^\\s*(?:export\\s+)?[A-Z0-9_]*${word}=([A-Za-z0-9+/_.=~-]{20,})\\s*$`, "gim"),
];
/** Bits a character: less is a repetition. */
const leastEntropy = 3;
/** Steps from a small letter to a capital and between letters and digits, a character: names and words have less. */
const leastSteps = 0.3;

/** Names of what a text seems to hold, each once. */
export function secretsIn(text: string): string[] {
  const known = Object.entries(forms)
    .filter(([, form]) => form.test(text))
    .map(([name]) => name);
  const assigned = assignments.some((form) =>
    [...text.matchAll(form)].some(([, value = ""]) => isRandom(value)),
  );
  return assigned ? [...known, "random value of a secret's name"] : known;
}

/** Letters and digits without an order that could be seen. Hex digits and base64 of this length nearly always are. */
function isRandom(value: string): boolean {
  // What tests plant to look for it elsewhere says so itself.
  if (/canary/i.test(value)) return false;
  const steps = value.match(/(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])/g);
  return (steps?.length ?? 0) / value.length >= leastSteps && entropyOf(value) >= leastEntropy;
}

function entropyOf(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()]
    .map((count) => count / text.length)
    .reduce((sum, share) => sum - share * Math.log2(share), 0);
}
