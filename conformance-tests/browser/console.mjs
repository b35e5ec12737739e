// The operators' console: what is going on, and whose fault it is.

import { fits, holds, picture, play, runsNothingElse, tell, until } from "./stage.mjs";

const home = process.env.CONSOLE;
const [one, other] = ["yunshui", "fudeng"];
const at = (path) => new URL(path, home).href;
const places = ["", "cases", "offices", "institutions", "unknown", "notices", "findings", "contracts", "settings"];

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
    const refused = await page.locator(`#institution-${one} td`).nth(5).innerText();
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
    const exchanges = page.locator("#timeline tr.of-exchange");
    holds((await exchanges.count()) === 2, "not two exchanges");
    holds((await page.locator("#timeline tr.of-event").count()) === 1, "not one event");
    const took = await exchanges.first().locator("td").nth(4).innerText();
    holds(/^[0-9.]+ m?s$/.test(took), `an exchange took ${took}`);
    await page.locator("#evidence", { hasText: "证明成立" }).waitFor();
    holds((await page.locator("#timeline .proof.yes").count()) === 2, "not two leaves are proved");
    const trace = await exchanges.first().locator("a.trace").getAttribute("href");
    holds(/^https:\/\/traces\.example\/[0-9a-f]{32}$/.test(trace), `the trace is at ${trace}`);
    await page.locator("#events", { hasText: "银行自取" }).waitFor();
    await page.locator("#attempts", { hasText: "经手次数" }).waitFor();
    await page.locator("#personal", { hasText: "•••" }).waitFor();
    holds((await page.locator("form[method=post]").count()) === 0, "a page that only reads has a form");
    await picture(page, "console-2-case");
  },

  "it is found by the registry's number too, and what nobody filed is not": async (page) => {
    const number = await page.locator(".case-head .code").innerText();
    await page.goto(at(`cases?q=${number}`));
    await page.locator("#row-1", { hasText: "JYCL01" }).waitFor();
    await page.goto(at("cases?q=nobody-sent-this"));
    await page.getByText("没有这样的键或编号").waitFor();
  },

  "it is found by its contract's number, and lists are filtered": async (page) => {
    const found = page.locator("#list a[data-row]");
    for (const [query, count] of [
      ["q=ZFYS-DY-2026-000317", 1], ["q=%20ZFYS-DY-2026-%20000317", 1], ["q=ZFYS-DY-2026-000318", 0],
      ["institution=yunshui", 1], ["institution=fudeng", 1], ["state=settled", 2], ["state=unknown", 0],
      ["status=SUBMITTED", 2], ["status=REGISTERED", 0], ["office=140105", 1],
      ["matter=mortgage_registration&institution=yunshui", 1], ["matter=seizure", 0],
      ["from=2020-01-01&to=2020-12-31", 0], ["from=2020-01-01", 2],
    ]) {
      await page.goto(at(`cases?${query}`));
      const told = await found.count();
      holds(told === count, `${query}: ${told} cases, not ${count}`);
    }
    await page.goto(at("cases"));
    await page.locator("#state").selectOption("settled");
    await page.locator("#institution").selectOption("fudeng");
    await page.locator("#find").click();
    await page.locator("#row-1").waitFor();
    await picture(page, "console-2-cases");
  },

  "offices, institutions, unknown outcomes and settings are told": async (page) => {
    const said = {
      offices: ["140105", "太原市小店区", "抵押权首次登记"],
      institutions: ["yunshui", "CN=", "KEY_REUSED"],
      unknown: ["province"],
      notices: ["没有订阅者"],
      findings: ["没有差异"],
      contracts: ["yunshui", "fudeng", "first"],
      settings: ["[admin]", "banks", "client_ca", "limits.body_bytes_max"],
    };
    for (const [place, words] of Object.entries(said)) {
      await page.goto(at(place));
      for (const word of words) await page.locator("main", { hasText: word }).waitFor();
      await picture(page, `console-3-${place}`);
    }
    const settings = await page.locator("#written").innerText();
    holds(!settings.includes("PRIVATE KEY"), "the settings page shows a key");
    await page.locator("#all-values > summary").click();
    await page.locator("#values", { hasText: "1048576" }).waitFor();
    await page.goto(at("contracts"));
    await page.locator("#row-yunshui-1").click();
    const first = page.locator("details", { hasText: "first.request.xml" }).first();
    if ((await first.getAttribute("open")) === null) await first.locator("summary").click();
    await first.getByText("matter.mortgagors").first().waitFor();
    await picture(page, "console-3-contract");
    await saysNothingPersonal(page);
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
    await until(page, "place-unknown");
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "Unknown outcomes" }).waitFor();
    await page.setViewportSize({ width: 390, height: 844 });
    for (const place of [...places, "cases?q=JYCL01-20260305-2026030500000017"]) {
      await page.goto(at(place));
      await fits(page);
      const name = place.startsWith("cases?") ? "found" : place || "now";
      await picture(page, `console-4-narrow-${name}`);
    }
    await page.locator("#row-1").click();
    await page.locator("#status").waitFor();
    await fits(page);
    await picture(page, "console-4-narrow-case");
    await page.setViewportSize({ width: 1280, height: 900 });
    for (const place of places) {
      await page.goto(at(place));
      await fits(page);
    }
  },

  "a page loads and runs nothing but its own, and nobody acts who has not signed in": async (page, complaints) => {
    await runsNothingElse(page, at("cases"), complaints);
    const posted = await page.evaluate(async () => {
      const answer = await fetch("/console/findings/close", { method: "POST", body: new URLSearchParams({ id: 1, note: "x" }) });
      return answer.status;
    });
    holds(posted === 403, `an act of nobody's was answered ${posted}`);
  },
});
