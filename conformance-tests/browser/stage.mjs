// A browser, and the banks on the other side of the gateway. `play` has a bank do a step as scenarios know it; it is done by
// the program that started this script, which reads requests on our standard output and answers on our standard input.

import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const output = process.env.OUTPUT;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the program that started this script for something; fails if it could not be done. */
export async function ask(what) {
  console.log(JSON.stringify(what));
  const { value } = await answers.next();
  const told = JSON.parse(value ?? '{"error":"nobody answers"}');
  if (told.error) throw new Error(`${JSON.stringify(what)}: ${told.error}`);
  return told;
}

/** Has a bank do a step (`bank sends first_general`); fails if it did not go as the step says. */
export const play = (bank, step) => ask({ bank, step });

/** `directlink` with arguments, beside the gateway. */
export const run = (...words) => ask({ run: words });

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

/** A page at `url` runs nothing but its own: its policy says so, and a script that is put into it does not run. */
export async function runsNothingElse(page, url, complaints) {
  const answer = await page.goto(url);
  const policy = answer.headers()["content-security-policy"];
  holds(policy.startsWith("default-src 'none'") && !policy.includes("unsafe"), policy);
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.ran = true";
    document.body.append(script);
    return globalThis.ran === true;
  });
  holds(!ran, "a script that was put into the page ran");
  const stopped = complaints.splice(0);
  holds(stopped.length === 1 && stopped[0].includes("Content Security Policy"), stopped.join("; "));
}

export async function picture(page, name) {
  await page.screenshot({ path: `${output}/${name}.png`, fullPage: true });
}

/** What a browser that shows somebody's certificate at `origin` is opened with. */
export const withCertificate = (origin, name) => ({
  ignoreHTTPSErrors: true,
  clientCertificates: [{
    origin,
    certPath: `${process.env.PKI}/banks/${name}.pem`,
    keyPath: `${process.env.PKI}/banks/${name}.key`,
  }],
});

/** Tab is pressed until the element of that id has the focus. */
export async function until(page, id) {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((id) => document.activeElement.id === id, id)) return;
  }
  throw new Error(`Tab never came to #${id}`);
}

/** Runs the parts of a story one after the other on one page; tells each with its time, and ends the process. `options` are
 * those of the page's context; a part gets `open(options)` for a page of somebody else. */
export async function tell(story, parts, options = {}) {
  mkdirSync(output, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  const complaints = [];
  const elsewhere = [];
  const open = async (options) => {
    const context = await browser.newContext({ locale: "zh-CN", viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(8000);
    const page = await context.newPage();
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
    return page;
  };
  const page = await open(options);
  let failed = 0;
  for (const [name, part] of Object.entries(parts)) {
    const begun = Date.now();
    try {
      await part(page, complaints, open);
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
