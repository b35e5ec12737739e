// A staged incident, as a person new to the console finds it: one bank sends a wrong code, one office answers slowly, one is
// down, and one answer is lost. Whatever is looked for here is looked for on the console alone.

import { fits, holds, picture, play, tell } from "./stage.mjs";

const home = process.env.CONSOLE;
const at = (path) => new URL(path, home).href;

// Who is in it, and the office in charge of their homes.
const wrong = { bank: "fudeng" };
const slow = { bank: "yunshui", office: "140105" };
const down = { bank: "baiping", office: "430602", registry: "city" };
const lost = { bank: "songlai", office: "530102" };

const trouble = (page, kind, who) => page.locator(`[id="trouble-${kind}-${who}"]`);

await tell("incident", {
  "before it nothing stands out": async (page) => {
    await page.goto(home);
    await page.locator("#heard", { hasText: "实时" }).waitFor();
    await page.locator("#no-trouble").waitFor();
  },

  "everything happens, and each is told by itself with whose it is": async (page) => {
    for (let times = 0; times < 2; times += 1) {
      await play(wrong.bank, "bank sends bytes bad/code_unmapped");
      await play(wrong.bank, "bank hears refusal code=CODE_UNMAPPED");
    }
    await play(slow.bank, "registry takes 1700 ms for the next");
    await play(slow.bank, "bank sends first_general");
    await play(slow.bank, "bank hears outcome status=REGISTERED");
    await play(down.bank, "another registry goes down");
    await play(down.bank, "bank sends first_general");
    await play(down.bank, "bank hears refusal code=REGISTRY_UNAVAILABLE");
    await play(down.bank, "bank sends first_general");
    await play(lost.bank, "registry is silent after commit");
    await play(lost.bank, "bank sends first_general");
    await play(lost.bank, "bank hears refusal code=OUTCOME_UNKNOWN");
    await trouble(page, "messages", wrong.bank).filter({ hasText: "CODE_UNMAPPED" }).waitFor();
    await trouble(page, "slow", slow.office).filter({ hasText: "应答慢" }).waitFor();
    await trouble(page, "down", down.office).filter({ hasText: "连不上" }).waitFor();
    await trouble(page, "lost", lost.office).filter({ hasText: "不要换键重报" }).waitFor();
    await page.locator(".tiles .bad", { hasText: "1 笔结果未知" }).waitFor();
    const told = await page.locator(".troubles li").evaluateAll((lines) => lines.map((it) => it.id).sort());
    const expected = [
      `trouble-messages-${wrong.bank}`, `trouble-slow-${slow.office}`, `trouble-down-${down.office}`, `trouble-lost-${lost.office}`,
    ].sort();
    const more = told.filter((id) => !expected.includes(id) && id !== `trouble-paused-${down.registry}`);
    holds(more.length === 0, `the console also blames ${more.join(", ")}`);
    await picture(page, "incident-1-now");
  },

  "the wrong code is its bank's and no other's": async (page) => {
    await trouble(page, "messages", wrong.bank).getByRole("link").click();
    await page.locator(`#of-${wrong.bank}`, { hasText: "CODE_UNMAPPED" }).waitFor();
    for (const { bank } of [slow, down, lost]) {
      const said = await page.locator(`#of-${bank}`).innerText();
      holds(!said.includes("CODE_UNMAPPED"), `${bank} is blamed for the code`);
    }
    await picture(page, "incident-2-institutions");
  },

  "the slow office and the one that is down are told apart": async (page) => {
    await page.goto(at("offices"));
    const slowly = await page.locator(`#office-${slow.office}`).innerText();
    holds(slowly.includes("100%"), `the slow office: ${slowly}`);
    const away = await page.locator(`#office-${down.office}`).innerText();
    holds(away.includes("0%"), `the office that is down: ${away}`);
    await picture(page, "incident-3-offices");
  },

  "the lost answer is found with its case, where it can be followed": async (page) => {
    await page.goto(at("unknown"));
    holds((await page.locator("#list tbody tr").count()) === 1, "not one outcome is unknown");
    await page.locator("#list", { hasText: lost.bank }).waitFor();
    await picture(page, "incident-4-unknown");
    await page.locator("#row-1").click();
    await page.locator("#status", { hasText: "结果未知" }).waitFor();
    await page.locator("#attempts", { hasText: "再次询问" }).waitFor();
    await page.locator("#timeline", { hasText: "OUTCOME_UNKNOWN" }).waitFor();
    await picture(page, "incident-4-case");
  },

  "it is told on a telephone, in English": async (page) => {
    await page.goto(home);
    await page.getByRole("link", { name: "English" }).click();
    await page.setViewportSize({ width: 390, height: 844 });
    await page.locator("#troubles", { hasText: "nobody files them anew" }).waitFor();
    await fits(page);
    await picture(page, "incident-5-narrow");
  },
});
