import type { Access } from "../../spec/declaration.ts";

/** Whether a person may talk to an agent, and so wake it. Names are compared without case, as the server does. */
export function isAllowed(access: Access, username: string): boolean {
  const listed = (access.users ?? []).some((user) => user.toLowerCase() === username.toLowerCase());
  if (access.mode === "open") return true;
  return access.mode === "allowlist" ? listed : !listed;
}
