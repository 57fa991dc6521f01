import { bytes, put, split } from "./docker-values.ts";

/** Members of `--mount`, by their names and other names. */
const mountKeys: Readonly<Record<string, (mount: Record<string, unknown>, value: string) => void>> =
  {
    type: (mount, value) => {
      mount.Type = value;
    },
    source: (mount, value) => {
      mount.Source = value;
    },
    target: (mount, value) => {
      mount.Target = value;
    },
    readonly: (mount, value) => {
      mount.ReadOnly = value !== "false" && value !== "0";
    },
    "bind-propagation": (mount, value) => put(mount, "BindOptions", "Propagation", value),
    "bind-nonrecursive": (mount) => put(mount, "BindOptions", "NonRecursive", true),
    "volume-nocopy": (mount) => put(mount, "VolumeOptions", "NoCopy", true),
    "volume-subpath": (mount, value) => put(mount, "VolumeOptions", "Subpath", value),
    "volume-driver": (mount, value) => driver(mount, "Name", value),
    "volume-opt": (mount, value) => {
      const known = driverOf(mount).Options as object | undefined;
      const [key, option] = split(value);
      driver(mount, "Options", { ...known, [key]: option });
    },
    "volume-label": (mount, value) => {
      const known = (mount.VolumeOptions as { Labels?: object } | undefined)?.Labels;
      const [key, label] = split(value);
      put(mount, "VolumeOptions", "Labels", { ...known, [key]: label });
    },
    "tmpfs-size": (mount, value) => put(mount, "TmpfsOptions", "SizeBytes", bytes(value)),
    "tmpfs-mode": (mount, value) => {
      if (!/^[0-7]{1,5}$/.test(value)) throw new Error("tmpfs-mode must be octal");
      put(mount, "TmpfsOptions", "Mode", Number.parseInt(value, 8));
    },
  };
const mountAliases: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
};

function driverOf(mount: Record<string, unknown>): Record<string, unknown> {
  const options = mount.VolumeOptions as { DriverConfig?: Record<string, unknown> } | undefined;
  return options?.DriverConfig ?? {};
}

function driver(mount: Record<string, unknown>, key: string, value: unknown): void {
  put(mount, "VolumeOptions", "DriverConfig", { ...driverOf(mount), [key]: value });
}

/** Reads the value of `--mount`. @throws Error in words that follow the flag's name */
export function readMount(value: string): Record<string, unknown> {
  const made: Record<string, unknown> = { Type: "volume" };
  for (const part of value.split(",")) {
    const [written, text] = split(part);
    const key = mountAliases[written] ?? written;
    const set = Object.hasOwn(mountKeys, key) ? mountKeys[key] : undefined;
    if (!set) throw new Error(`"${written}" in it is not understood`);
    set(made, text);
  }
  return made;
}
