/** Numbers, units, ages and times, as people read them. Pure. */

const UNITS = {
  1: "", Cel: "°C", "[degF]": "°F", K: "K", deg: "°", "[kn_i]": "kn", "[g]": "g", By: "B", "/min": "min⁻¹", "/s": "s⁻¹",
  "m/s2": "m/s²", m2: "m²", m3: "m³", "m3/h": "m³/h", "[ppm]": "ppm", "[ppb]": "ppb", "ug/m3": "µg/m³", "mg/m3": "mg/m³",
  Ohm: "Ω", "W/m2": "W/m²", "kW.h": "kWh", "W.h": "Wh", "A.h": "Ah", "mm[Hg]": "mmHg", "[in_i]": "in", "[ft_i]": "ft",
  "[mi_i]": "mi", "uS/cm": "µS/cm", us: "µs", uT: "µT", lx: "lx", "[psi]": "psi", "[pH]": "pH", h: "h", "rad/s": "rad/s",
  "deg/s": "°/s", "[gal_us]": "gal", bar: "bar", mbar: "mbar", "B[SPL]": "dB",
};

/** A UCUM code as people write it; a code without a name stays as it is. */
export const unitText = (code) => UNITS[code] ?? String(code);

const MOST_DECIMALS = 4;

/** How many decimals a number needs at seven digits, at most four. */
export function decimalsOf(value) {
  if (!Number.isFinite(value) || Number.isInteger(value)) return 0;
  const text = String(Number(value.toPrecision(7)));
  if (text.includes("e")) return MOST_DECIMALS;
  const point = text.indexOf(".");
  return point < 0 ? 0 : Math.min(MOST_DECIMALS, text.length - point - 1);
}

/** A value as text; `decimals`: so many for every number of a series, or it would jump about. */
export function valueText(value, decimals = null) {
  if (value === null || value === undefined) return "—";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return String(value);
    const size = Math.abs(value);
    if (size >= 1e9 || (size > 0 && size < 1e-4)) return value.toPrecision(6);
    return value.toFixed(decimals ?? decimalsOf(value)).replace("-", "−");
  }
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map((each) => valueText(each)).join(" ");
  return typeof value === "object" ? Object.entries(value).map(([name, each]) => `${name} ${valueText(each)}`).join(", ") : String(value);
}

/** The same where there is room for a word: of a long list how long it is. */
export function shortText(value, decimals = null) {
  if (Array.isArray(value) && (value.length > 6 || value.some((each) => typeof each === "object"))) {
    return `${value.length} ${value.length === 1 ? "entry" : "entries"}`;
  }
  return valueText(value, decimals);
}

/** Seconds as an age: no finer than it helps. */
export function ageText(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "never";
  if (seconds < 1.5) return "now";
  return durationText(seconds);
}

export function durationText(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) {
    const minutes = Math.floor((seconds % 3600) / 60);
    return seconds < 36000 && minutes ? `${Math.floor(seconds / 3600)} h ${minutes} min` : `${Math.floor(seconds / 3600)} h`;
  }
  return `${Math.floor(seconds / 86400)} d`;
}

/** A count with thin spaces between thousands. */
export const countText = (count) => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

export function bytesText(count) {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (count >= 1000 && power < names.length - 1) {
    count /= 1000;
    power += 1;
  }
  return `${power === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${names[power]}`;
}

/** A rate in events per second, in three digits. */
export const rateText = (rate) => (rate >= 100 ? countText(rate) : rate >= 10 ? rate.toFixed(0) : rate.toFixed(1));

const two = (number) => String(number).padStart(2, "0");

/** Seconds since 1970 as the time of day here. */
export function timeText(seconds) {
  const at = new Date(seconds * 1000);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The same with its day. */
export function dateText(seconds) {
  const at = new Date(seconds * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${timeText(seconds)}`;
}
