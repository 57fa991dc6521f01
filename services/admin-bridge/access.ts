import type { Access } from "../../spec/declaration.ts";
import type { Person } from "./people.ts";

/**
 * Whether a person may talk to an agent, and so wake it. Names are compared without case, as the server does. A block also
 * holds for the account that a listed name means, whatever it is called now; `holderOf` gives that account's id.
 */
export function isAllowed(
  access: Access,
  person: Pick<Person, "id" | "username">,
  holderOf: (username: string) => string | undefined,
): boolean {
  const listed = (access.users ?? []).some(
    (user) =>
      user.toLowerCase() === person.username.toLowerCase() ||
      (access.mode === "blocklist" && holderOf(user) === person.id),
  );
  if (access.mode === "open") return true;
  return access.mode === "allowlist" ? listed : !listed;
}
