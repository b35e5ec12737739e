// The operators' console: what is going on, and whose fault it is.

import { fits, holds, picture, play, tell } from "./stage.mjs";

const home = process.env.CONSOLE;
const [one, other] = ["yunshui", "fudeng"];
const at = (path) => new URL(path, home).href;
const places = ["", "cases", "offices", "institutions", "unknown", "settings"];

// What the samples say of people, and what they borrow: none of it has a place here.
const personal = ["甄砚秋", "140105198803124029", "13800000017", "1,200,000.00", "120000000", "云水苑", "歐陽靜嫻", "H01234567"];

async function saysNothingPersonal(page) {
  const text = await page.content();
  const found = personal.filter((words) => text.includes(words));
  holds(found.length === 0, `${page.url()} says ${found.join(", ")}`);
}

await tell("console", {
  "what happens now appears by itself, by institution and with the causes of refusals": async (page) => {
    await page.goto(home);
    await page.locator("#heard", { hasText: "实时" }).waitFor();
    await play(one, "bank sends first_general");
    await play(other, "bank sends first_general");
    await play(other, "bank sends first_general with matter.rank=7");
    await play(other, "bank hears refusal code=KEY_REUSED");
    await page.locator(`#institution-${one} td`, { hasText: /^1$/ }).first().waitFor();
    await page.locator("#now", { hasText: "KEY_REUSED" }).waitFor();
    const refused = await page.locator(`#institution-${one} td`).last().innerText();
    holds(refused === "0", `the gateway refused ${refused} of a bank whose filings were taken`);
    await picture(page, "console-1-now");
  },

  "a case is found by its key, with every exchange about it and its evidence": async (page) => {
    await play(one, "bank sends first_general");
    await page.goto(at("cases"));
    await page.locator("#q").fill("JYCL01-20260305-2026030500000017");
    await page.keyboard.press("Enter");
    await page.locator("#row-1").click();
    await page.locator("#status", { hasText: "待受理" }).waitFor();
    holds((await page.locator("#exchanges tbody tr").count()) === 2, "not two exchanges");
    holds((await page.locator("#exchanges .status").count()) === 2, "not two statuses");
    await page.locator("#evidence", { hasText: "证明成立" }).waitFor();
    await picture(page, "console-2-case");
  },

  "it is found by the registry's number too, and what nobody filed is not": async (page) => {
    const number = await page.locator(".case-head .code").innerText();
    await page.goto(at(`cases?q=${number}`));
    await page.locator("#row-1", { hasText: "JYCL01" }).waitFor();
    await page.goto(at("cases?q=nobody-sent-this"));
    await page.getByText("没有这样的键或编号").waitFor();
  },

  "offices, institutions, unknown outcomes and settings are told": async (page) => {
    const said = {
      offices: ["140105", "太原市小店区", "抵押权首次登记"],
      institutions: ["yunshui", "CN=", "KEY_REUSED"],
      unknown: ["province"],
      settings: ["[admin]", "banks", "client_ca"],
    };
    for (const [place, words] of Object.entries(said)) {
      await page.goto(at(place));
      for (const word of words) await page.locator("main", { hasText: word }).waitFor();
      await picture(page, `console-3-${place}`);
    }
    const settings = await page.locator("#written").innerText();
    holds(!settings.includes("PRIVATE KEY"), "the settings page shows a key");
  },

  "nothing of it is about anybody": async (page) => {
    for (const place of [...places, "cases?q=JYCL01-20260305-2026030500000017"]) {
      await page.goto(at(place));
      await saysNothingPersonal(page);
    }
    await page.locator("#row-1").click();
    await page.locator("#status").waitFor();
    await saysNothingPersonal(page);
  },

  "it goes by keyboard, in English, and on a telephone": async (page) => {
    await page.goto(at("offices"));
    await page.getByRole("link", { name: "English" }).click();
    await page.locator("h1", { hasText: "Offices" }).waitFor();
    holds(page.url() === at("offices"), `the choice of a language led to ${page.url()}`);
    for (let presses = 0; presses < 20; presses += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.id === "place-unknown")) break;
    }
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "Unknown outcomes" }).waitFor();
    await page.setViewportSize({ width: 390, height: 844 });
    for (const place of [...places, "cases?q=JYCL01-20260305-2026030500000017"]) {
      await page.goto(at(place));
      await fits(page);
      if (place === "" || place === "offices") await picture(page, `console-4-narrow-${place || "now"}`);
    }
    await page.locator("#row-1").click();
    await page.locator("#status").waitFor();
    await fits(page);
    await picture(page, "console-4-narrow-case");
  },
});
