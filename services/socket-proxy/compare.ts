import { canonicalJson, type Json } from "../../spec/canonical.ts";
import { asList } from "./json.ts";

/** Says whether a member of the Engine's answer is as it should be. */
export type Check = (value: unknown) => boolean;

/** Unset, in any of the Engine's spellings. Lists and objects must be empty: a list of zeros is not unset. */
export function isUnset(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === false) {
    return true;
  }
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Any value at all: for members that say nothing about what the container may do. */
export const anything: Check = () => true;

/** Equal as JSON; for an unset wanted value, unset in any spelling. */
export function same(wanted: unknown): Check {
  const text = textOf(wanted);
  return (value) => (isUnset(wanted) && isUnset(value)) || textOf(value) === text;
}

/** Equal as JSON once members that are unset are left out on both sides. */
export function sameMembers(wanted: object): Check {
  const text = textOf(withoutUnset(wanted));
  return (value) => typeof value === "object" && textOf(withoutUnset(value ?? {})) === text;
}

/** The same texts, each as often, in any order. */
export function sameSet(wanted: readonly string[], read = (item: unknown) => item): Check {
  const text = textOf([...wanted].sort());
  return (value) => {
    if (value !== null && value !== undefined && !Array.isArray(value)) return false;
    const items = asList(value);
    if (!items.every((item) => typeof item === "string")) return false;
    return textOf(items.map(read).map(String).sort()) === text;
  };
}

/** One of these values. */
export function oneOf(...wanted: readonly unknown[]): Check {
  return (value) => wanted.some((item) => same(item)(value));
}

/** A list that holds all of these. */
export function holdsAll(wanted: readonly string[]): Check {
  return (value) => Array.isArray(value) && wanted.every((item) => value.includes(item));
}

/** An object whose keys are all among these. */
export function keysAmong(wanted: Iterable<string>): Check {
  const known = new Set(wanted);
  return (value) =>
    isUnset(value) ||
    (typeof value === "object" && Object.keys(value ?? {}).every((key) => known.has(key)));
}

/**
 * Compares an object of the Engine member by member. A member without a check must be unset: what a future Engine adds
 * is a difference until somebody has thought about it.
 * @returns names of the members that differ, each behind `prefix`
 */
export function compareMembers(
  actual: Readonly<Record<string, unknown>>,
  checks: Readonly<Record<string, Check>>,
  prefix: string,
): string[] {
  const names = new Set([...Object.keys(checks), ...Object.keys(actual)]);
  return [...names]
    .filter((name) => {
      const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
      return !(check ?? isUnset)(Object.hasOwn(actual, name) ? actual[name] : undefined);
    })
    .map((name) => `${prefix}${/^[A-Za-z0-9]{1,64}$/.test(name) ? name : "?"}`)
    .sort();
}

function withoutUnset(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => !isUnset(member)));
}

function textOf(value: unknown): string {
  return value === undefined ? "undefined" : canonicalJson(value as Json);
}
