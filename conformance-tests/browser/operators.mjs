// The console where people sign in with certificates: an operator acts, a viewer looks, a stranger sees nothing, and every
// act is in the log.

import { ask, fits, holds, picture, play, run, tell, until, withCertificate } from "./stage.mjs";

const home = process.env.CONSOLE;
const { origin } = new URL(home);
const at = (path) => new URL(path, home).href;
const bank = "standard";
const operator = withCertificate(origin, "wang");
const viewer = withCertificate(origin, "li");
const mask = "•••";

// What is said of people in the cases of this story.
const personal = ["甄砚秋", "140105198803124029", "1,200,000.00", "120000000"];

async function saysNothingPersonal(page) {
  const text = await page.content();
  const found = personal.filter((words) => text.includes(words));
  holds(found.length === 0, `${page.url()} says ${found.join(", ")}`);
}

const acts = (page) => page.locator("#timeline tr.of-act");
let mortgage = "";

await tell("operators", {
  "whoever signs in is told who they are; a bank that is nobody here is shown nothing": async (page, _, open) => {
    await page.goto(home);
    await page.locator("#who", { hasText: "wang · 操作" }).waitFor();
    await page.locator("#heard", { hasText: "实时" }).waitFor();
    const li = await open(viewer);
    await li.goto(home);
    await li.locator("#who", { hasText: "li · 查看" }).waitFor();
    const stranger = await open(withCertificate(origin, bank));
    const answer = await stranger.goto(at("cases"));
    holds(answer.status() === 403, `a stranger was answered ${answer.status()}`);
    await stranger.locator("#why", { hasText: "没有登录" }).waitFor();
    await picture(stranger, "operators-1-stranger");
    const nobody = await open({ ignoreHTTPSErrors: true });
    const refused = await nobody.goto(home).then(() => "let in", (error) => String(error));
    holds(refused.includes("ERR_"), `somebody without a certificate was ${refused}`);
    const admin = await fetch(new URL("/console/", process.env.ADMIN));
    holds(admin.status === 404, `the admin port answered ${admin.status}`);
  },

  "what may name people is masked, and an operator who looks is kept": async (page, _, open) => {
    await play("yunshui", "bank sends first_general");
    await page.goto(at("cases?institution=yunshui"));
    await page.locator("#row-1").click();
    mortgage = page.url();
    await page.locator("#personal", { hasText: mask }).waitFor();
    await saysNothingPersonal(page);
    const li = await open(viewer);
    await li.goto(mortgage);
    await li.locator("#personal", { hasText: "操作员" }).waitFor();
    holds((await li.locator("form[method=post]").count()) === 0, "a viewer is offered an act");
    const refused = await li.evaluate(async (path) => (await fetch(path, { method: "POST" })).status, `${mortgage}/unmask`);
    holds(refused === 403, `a viewer's act was answered ${refused}`);

    await until(page, "unmask");
    await page.keyboard.press("Enter");
    await page.locator("#personal", { hasText: "1,200,000.00" }).waitFor();
    await picture(page, "operators-2-unmasked");
    await page.locator("#mask").click();
    await page.locator("#personal", { hasText: mask }).waitFor();
    await saysNothingPersonal(page);
    await acts(page).filter({ hasText: "unmask · wang" }).waitFor();
    holds((await acts(page).count()) === 1, "not one act is kept");
    await page.reload();
    await page.locator("#evidence", { hasText: "证明成立" }).waitFor();
    await picture(page, "operators-2-kept");
  },

  "a message that is handed in is traced to its fields, byte by byte": async (page) => {
    const { bytes } = await ask({ bank: "yunshui", sample: "first_general" });
    const file = { name: "sent", mimeType: "application/octet-stream", buffer: Buffer.from(bytes, "base64") };
    await page.goto(mortgage);
    await page.locator("#sent").setInputFiles(file);
    await page.locator("#hand-in[data-ready]").waitFor();
    await page.locator("#trace-fields").click();
    await page.locator("#same", { hasText: "合约与当时一致" }).waitFor();
    await page.locator("#fields", { hasText: "甄砚秋" }).waitFor();
    holds((await page.locator("#fields tbody tr").count()) > 20, "too few fields");
    await fits(page);
    await picture(page, "operators-3-lineage");
    await page.goto(mortgage);
    await acts(page).filter({ hasText: "lineage · wang" }).waitFor();
    const other = { ...file, buffer: Buffer.concat([file.buffer, Buffer.from(" ")]) };
    await page.locator("#sent").setInputFiles(other);
    await page.locator("#hand-in[data-ready]").waitFor();
    await page.locator("#trace-fields").click();
    await page.locator("#why", { hasText: "差一个字节" }).waitFor();
  },

  "a parked notice is seen on its case, sent again, and heard": async (page) => {
    await play(bank, "subscriber first answers 500 to IN_REVIEW");
    await play(bank, "bank sends first_general");
    await play(bank, "bank hears outcome status=ACCEPTED");
    await play(bank, "registry reviews everything");
    await page.goto(at("notices"));
    await page.locator("#parked", { hasText: "审核中" }).waitFor({ timeout: 20000 });
    await picture(page, "operators-4-parked");
    const [, ...rest] = await page.locator("#parked a[data-row]").allInnerTexts();
    holds(rest.length === 0, "more than one notice is parked");
    await page.locator("#parked a[data-row]").click();
    await page.locator("#events", { hasText: "已搁置" }).waitFor();
    await page.goto(at("notices"));
    await play(bank, "subscriber first takes notices");
    await page.locator("#resend-1").click();
    await page.locator("#none-parked").waitFor();
    await play(bank, "subscriber first is told statuses=ACCEPTED,IN_REVIEW");
  },

  "a finding is closed with a reason": async (page, _, open) => {
    await page.goto(at("findings"));
    await page.locator("#none").waitFor();
    await ask({ find: "yunshui" });
    await page.locator("#list tbody tr").nth(1).waitFor();
    await picture(page, "operators-5-findings");
    await saysNothingPersonal(page);
    const li = await open(viewer);
    await li.goto(at("findings"));
    await li.locator("#list", { hasText: "未关闭" }).first().waitFor();
    const id = (await page.locator("#list tbody tr").first().getAttribute("id")).replace("finding-", "");
    const before = await page.locator("#list tbody tr").count();
    await page.locator(`#note-${id}`).fill("登记机构更换系统，已核对");
    await page.locator(`#close-${id}`).click();
    await page.locator(`#close-${id}`).waitFor({ state: "detached" });
    const after = await page.locator("#list tbody tr").count();
    holds(after === before - 1, `${after} findings are open`);
    await page.goto(at("findings?all=yes"));
    await page.locator(`#finding-${id}`, { hasText: "登记机构更换系统" }).waitFor();
  },

  "every act is in the log, which is whole": async () => {
    const { told, code } = await run("evidence", "audit");
    holds(code === 0, `the audit says ${told}`);
  },

  "no other site's page has an operator act": async (page) => {
    const target = at("findings/close");
    await page.goto(at("findings?all=yes"));
    const stranger = await page.context().newPage();
    const form = `<form method="post" action="${target}"><input name="id" value="1"><input name="note" value="x"><button>x</button></form>`;
    await stranger.goto(`data:text/html,${encodeURIComponent(form)}`);
    const [answer] = await Promise.all([
      stranger.waitForResponse((it) => it.url() === target),
      stranger.locator("button").click(),
    ]);
    holds(answer.status() === 403, `another site's post was answered ${answer.status()}`);
    await stranger.close();
  },

  "it fits a telephone, acts and all, and is English for who wants it": async (page) => {
    await page.getByRole("link", { name: "English" }).click();
    await page.locator("h1", { hasText: "Findings" }).waitFor();
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      for (const [name, place] of Object.entries({
        now: home, case: mortgage, notices: at("notices"), findings: at("findings?all=yes"), settings: at("settings"),
      })) {
        await page.goto(place);
        await fits(page);
        await picture(page, `operators-6-${width}-${name}`);
      }
    }
  },
}, operator);
