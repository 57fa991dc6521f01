import { ApiError, badBody } from "../errors.ts";
import { newId, now } from "../ids.ts";
import { needTeam, needTeamAdmin } from "../permissions.ts";
import type { Row } from "../store/database.ts";
import { must } from "../store/users.ts";
import {
  type Call,
  created,
  done,
  type Fields,
  fields,
  ok,
  optionalText,
  param,
  type Reply,
  type Route,
  text,
} from "./route.ts";

/** Slash commands are kept and listed; the stand-in never calls out, so it does not run them. */
interface Command extends Row {
  readonly id: string;
  readonly team_id: string;
  readonly token: string;
  readonly creator_id: string;
  readonly create_at: number;
  readonly update_at: number;
  readonly trigger: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const view = ({ fields: more, ...command }: Command) => ({ ...command, delete_at: 0, ...more });

/** The parts of a command beside its trigger. @throws ApiError 400 */
function details(body: Fields, before: Fields = {}): Fields {
  const method = optionalText(body, "method") ?? String(before.method ?? "P");
  const url = optionalText(body, "url") ?? String(before.url ?? "");
  if (method !== "P" && method !== "G") throw badBody("method");
  if (!/^https?:\/\/./.test(url)) {
    throw new ApiError(400, "model.command.is_valid.url_http.app_error", "Invalid URL.");
  }
  const plain = ["display_name", "description", "username", "icon_url", "auto_complete_hint"];
  const texts = plain.map((name) => [name, optionalText(body, name) ?? before[name] ?? ""]);
  const complete = body.auto_complete ?? before.auto_complete ?? false;
  return { ...Object.fromEntries(texts), method, url, auto_complete: complete === true };
}

function checkTrigger(body: Fields): string {
  const trigger = text(body, "trigger").toLowerCase();
  if (!/^[^\s/][^\s]{0,127}$/.test(trigger)) {
    throw new ApiError(400, "model.command.is_valid.trigger.app_error", "Invalid trigger.");
  }
  return trigger;
}

async function find(call: Call): Promise<Command> {
  const command = await call.app.db.row<Command>("SELECT * FROM commands WHERE id = $1", [
    param(call, "command_id"),
  ]);
  if (!command) {
    throw new ApiError(404, "store.sql_command.get.missing.app_error", "Command does not exist.");
  }
  await needTeamAdmin(call.app.db, call.actor, command.team_id);
  return command;
}

async function list(call: Call): Promise<Reply> {
  const teamId = call.query.get("team_id") ?? "";
  if (teamId === "") throw badBody("team_id");
  await needTeam(call.app.db, call.actor, teamId);
  const commands = await call.app.db.rows<Command>(
    "SELECT * FROM commands WHERE team_id = $1 ORDER BY trigger",
    [teamId],
  );
  // A command's token proves to the called side who calls; it is for those who manage commands.
  const shown = call.actor.isAdmin ? commands : commands.map((c) => ({ ...c, token: "" }));
  return ok(shown.map(view));
}

async function create(call: Call): Promise<Reply> {
  const body = fields(call, "command");
  const teamId = text(body, "team_id");
  await needTeamAdmin(call.app.db, call.actor, teamId);
  const time = now();
  const made = await call.app.db.row<Command>(
    `INSERT INTO commands VALUES ($1, $2, $3, $4, $5, $5, $6, $7)
     ON CONFLICT (team_id, trigger) DO NOTHING RETURNING *`,
    [newId(), teamId, newId(), call.actor.userId, time, checkTrigger(body), details(body)],
  );
  if (!made) {
    throw new ApiError(
      400,
      "api.command.duplicate_trigger.app_error",
      "This trigger word is already in use. Please choose another word.",
    );
  }
  return created(view(made));
}

async function update(call: Call): Promise<Reply> {
  const body = fields(call, "command");
  const command = await find(call);
  const made = await call.app.db.row<Command>(
    "UPDATE commands SET update_at = $2, trigger = $3, fields = $4 WHERE id = $1 RETURNING *",
    [
      command.id,
      now(),
      body.trigger === undefined ? command.trigger : checkTrigger(body),
      details(body, command.fields),
    ],
  );
  return ok(view(must(made)));
}

async function remove(call: Call): Promise<Reply> {
  const command = await find(call);
  await call.app.db.rows("DELETE FROM commands WHERE id = $1", [command.id]);
  return done();
}

export const commandRoutes: readonly Route[] = [
  { method: "GET", path: "/commands", handle: list, local: true },
  { method: "POST", path: "/commands", handle: create, local: true },
  { method: "PUT", path: "/commands/:command_id", handle: update, local: true },
  { method: "DELETE", path: "/commands/:command_id", handle: remove, local: true },
];
