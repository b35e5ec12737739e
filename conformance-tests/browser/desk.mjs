// The registrar's desk: a person decides what banks file, and the banks hear it.

import { fits, holds, picture, play, runsNothingElse, tell } from "./stage.mjs";

const desk = process.env.DESK;
const [one, other] = ["yunshui", "fudeng"];

const status = (page, words) => page.locator("#status", { hasText: words }).waitFor();
const line = (page, words) => page.locator("a.line", { hasText: words });

async function decide(page, id, words) {
  await page.locator(`#${id}`).click();
  await status(page, words);
}

await tell("desk", {
  "an empty desk says so, and what a bank files appears by itself": async (page) => {
    await page.goto(desk);
    await page.locator("#heard", { hasText: "实时" }).waitFor();
    await page.getByText("这里没有业务").waitFor();
    await play(one, "bank sends first_general");
    await play(one, "bank hears outcome status=SUBMITTED");
    await line(page, "甄砚秋").or(line(page, "抵押权首次登记")).first().waitFor();
    await picture(page, "desk-1-filed");
  },

  "an application is shown as a back office reads it": async (page) => {
    await line(page, "抵押权首次登记").first().click();
    await status(page, "待受理");
    const said = await page.locator("#case").innerText();
    for (const words of [
      "甄砚秋", "抵押人", "140105198803124029", "1,200,000.00 元", "140105 001002 GB00031 F00010023", "坞城路示例支行",
      "T08812", "ZFYS-DY-2026-000317", "登记簿上没有妨碍登簿的事项", "登记簿上已有",
    ]) holds(said.includes(words), `the case does not say ${words}`);
    await picture(page, "desk-2-case");
  },

  "it is accepted and registered, and the bank hears REGISTERED": async (page) => {
    await decide(page, "accept", "已受理");
    await play(one, "bank sends first_general");
    await play(one, "bank hears outcome status=ACCEPTED");
    await decide(page, "review", "审核中");
    await decide(page, "register", "已登簿");
    await page.getByText("不动产证明第").first().waitFor();
    await play(one, "bank sends first_general");
    await play(one, "bank hears outcome status=REGISTERED certificates=1");
    await picture(page, "desk-3-registered");
  },

  "another is refused with a reason, and its bank reads it": async (page) => {
    await play(other, "bank sends first_general");
    await page.goto(desk);
    await line(page, "灯影居").click();
    await decide(page, "accept", "已受理");
    await page.locator("#refusing > summary").click();
    await page.locator("#reason").selectOption("S306");
    await page.locator("#words").fill("配偶未到场");
    await picture(page, "desk-4-refusing");
    await decide(page, "refuse", "不予登记");
    await play(other, "bank sends first_general");
    await play(other, "bank hears refusal code=HOLDER_ABSENT sent=YES");
    await page.getByText("共有人未全部申请：配偶未到场").waitFor();
  },

  "another is asked to be corrected, and lapses when its deadline passes": async (page) => {
    await play(one, "bank sends first_maximum");
    await page.goto(desk);
    await line(page, "最高").or(line(page, "云水苑3幢1层")).first().click();
    await page.locator("#correcting > summary").click();
    await page.locator("#items").fill("抵押合同缺第3页\n授权委托书未签字");
    await decide(page, "correct", "待补正");
    await play(one, "bank sends first_maximum");
    await play(one, "bank hears outcome status=CORRECTION_REQUESTED");
    await page.getByText("授权委托书未签字").waitFor();
    await picture(page, "desk-5-correcting");
    await decide(page, "lapse", "已失效");
    await play(one, "bank sends first_maximum");
    await play(one, "bank hears outcome status=LAPSED");
  },

  "a seizure that is noted stands in the way until it is released": async (page) => {
    await play(other, "bank sends first_maximum");
    await page.goto(desk);
    await page.locator("a.line").first().click();
    await decide(page, "accept", "已受理");
    await page.locator("#seizing-0 > summary").click();
    await page.locator("#court-0").fill("示例市示例区人民法院");
    await page.locator("#enforcement-0").fill("(2026)示0101执1号");
    await page.locator("#to-0").fill("2028-01-01");
    await page.locator("#seize-0").click();
    await page.locator("#against", { hasText: "该不动产已被查封" }).waitFor();
    await picture(page, "desk-6-seized");
    await page.locator("button.small").click();
    await page.locator("#against", { hasText: "没有妨碍" }).waitFor();
    await decide(page, "register", "已登簿");
  },

  "a page that has grown old decides nothing": async (page) => {
    await play(one, "bank sends advance_notice");
    await page.goto(desk);
    await page.locator("a.line").first().click();
    const old = await page.locator("form:has(#accept) input[name=seen]").inputValue();
    await decide(page, "accept", "已受理");
    await page.evaluate((old) => {
      document.querySelector("form:has(#review) input[name=seen]").value = old;
    }, old);
    await page.locator("#review").click();
    await page.locator("#why", { hasText: "已发生变化" }).waitFor();
    await page.getByRole("link", { name: "回到此件" }).click();
    await status(page, "已受理");
  },

  "all of it can be done by keyboard": async (page) => {
    await play(other, "bank sends presale_notice");
    await page.goto(desk);
    const until = async (id) => {
      for (let presses = 0; presses < 40; presses += 1) {
        await page.keyboard.press("Tab");
        if (await page.evaluate((id) => document.activeElement.id === id, id)) return;
      }
      throw new Error(`Tab never came to #${id}`);
    };
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await status(page, "待受理");
    await until("accept");
    await page.keyboard.press("Enter");
    await status(page, "已受理");
    await until("register");
    await picture(page, "desk-7-keyboard");
    await page.keyboard.press("Enter");
    await status(page, "已登簿");
    await play(other, "bank sends presale_notice");
    await play(other, "bank hears outcome status=REGISTERED");
  },

  "it is English for who wants it": async (page) => {
    await page.getByRole("link", { name: "English" }).click();
    await page.getByText("Registrar's desk").waitFor();
    await page.goto(`${desk}?show=ended`);
    await page.locator("a.line").first().click();
    await page.locator("#status").waitFor();
    const said = await page.locator("#case").innerText();
    for (const words of ["Mortgagors", "Who filed it", "Materials"]) {
      holds(said.includes(words), `the case does not say ${words}`);
    }
    await picture(page, "desk-8-english");
    await page.getByRole("link", { name: "中文" }).click();
  },

  "nothing is wider than a telephone": async (page) => {
    await page.setViewportSize({ width: 390, height: 844 });
    const paths = ["/", "/?show=entered", "/?show=ended", "/?show=correcting"];
    for (const path of paths) {
      await page.goto(new URL(path, desk).href);
      await fits(page);
      const links = await page.locator("a.line").evaluateAll((lines) => lines.map((it) => it.href));
      for (const link of links) {
        await page.goto(link);
        for (const summary of await page.locator("summary").all()) await summary.click();
        await fits(page);
      }
    }
    await page.goto(`${desk}?show=ended`);
    await picture(page, "desk-9-narrow-list");
    await page.locator("a.line").first().click();
    await page.locator("#status").waitFor();
    await picture(page, "desk-9-narrow-case");
    await page.goto(desk);
    await page.locator("a.line").first().click();
    await page.locator("#refusing > summary").click();
    await picture(page, "desk-9-narrow-refusing");
    await page.setViewportSize({ width: 1280, height: 900 });
  },

  "no other site's page decides anything": async (page) => {
    await page.goto(desk);
    const link = await page.locator("a.line").first().getAttribute("href");
    const target = new URL(link.replace(/\?.*/, "/register"), desk).href;
    const stranger = await page.context().newPage();
    const form = `<form method="post" action="${target}"><input name="seen" value="2"><button>x</button></form>`;
    await stranger.goto(`data:text/html,${encodeURIComponent(form)}`);
    const [answer] = await Promise.all([
      stranger.waitForResponse((it) => it.url() === target),
      stranger.locator("button").click(),
    ]);
    holds(answer.status() === 403, `another site's post was answered ${answer.status()}`);
    await stranger.close();
    await page.locator("a.line").first().click();
    await status(page, "已受理");
  },

  "a page loads and runs nothing but its own": async (page, complaints) => {
    await runsNothingElse(page, desk, complaints);
  },
});
