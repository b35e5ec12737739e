// A browser, and the banks on the other side of the gateway. `play` has a bank do a step as scenarios know it; it is done by
// the program that started this script, which reads requests on our standard output and answers on our standard input.

import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const output = process.env.OUTPUT;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has a bank do a step (`bank sends first_general`); fails if it did not go as the step says. */
export async function play(bank, step) {
  console.log(JSON.stringify({ bank, step }));
  const { value } = await answers.next();
  const { error } = JSON.parse(value ?? '{"error":"nobody answers"}');
  if (error) throw new Error(`${bank}: ${step}: ${error}`);
}

export function holds(condition, words) {
  if (!condition) throw new Error(words);
}

/** Nothing is wider than the window, and nothing is cut off at its side. */
export async function fits(page) {
  const [wide, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  holds(wide <= window, `${page.url()} is ${wide} pixels wide in a window of ${window}`);
}

export async function picture(page, name) {
  await page.screenshot({ path: `${output}/${name}.png`, fullPage: true });
}

/** Runs the parts of a story one after the other on one page; tells each with its time, and ends the process. */
export async function tell(story, parts, { locale = "zh-CN" } = {}) {
  mkdirSync(output, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  const context = await browser.newContext({ locale, viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(8000);
  const page = await context.newPage();
  const complaints = [];
  const elsewhere = [];
  page.on("console", (message) => {
    // A refusal that a part provokes is a failed load too, and is looked at there.
    const expected = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !expected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  context.on("request", (request) => {
    const host = new URL(request.url()).hostname;
    if (host !== "127.0.0.1" && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  let failed = 0;
  for (const [name, part] of Object.entries(parts)) {
    const begun = Date.now();
    try {
      await part(page, complaints);
      holds(complaints.length === 0, `the browser complains: ${complaints.splice(0).join("; ")}`);
      holds(elsewhere.length === 0, `loaded from elsewhere: ${elsewhere.join(", ")}`);
      console.log(`passed  ${story}: ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${story}: ${name}\n    ${String(error.stack).replaceAll("\n", "\n    ")}`);
      await picture(page, `failed-${story}-${failed}`).catch(() => {});
      break;
    }
  }
  await browser.close();
  process.exit(failed === 0 ? 0 : 1);
}
