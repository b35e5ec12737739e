// The console behind a proxy where people sign in: its header fields are believed from its address, about people in its groups.

import { holds, picture, play, tell } from "./stage.mjs";

const home = process.env.CONSOLE;
const says = (user, groups) => ({
  extraHTTPHeaders: { "x-forwarded-user": user, "x-forwarded-groups": groups },
});

await tell("proxied", {
  "whom the proxy names may act, look or neither, by their groups": async (page, _, open) => {
    await page.goto(home);
    await page.locator("#who", { hasText: "wang@example · 操作" }).waitFor();
    await picture(page, "proxied-1-operator");
    const li = await open(says("li@example", "staff,directlink-viewers"));
    await li.goto(home);
    await li.locator("#who", { hasText: "li@example · 查看" }).waitFor();
    for (const [user, groups] of [["zhao@example", "staff"], ["", "directlink-operators"]]) {
      const stranger = await open(says(user, groups));
      const answer = await stranger.goto(home);
      holds(answer.status() === 403, `${user} of ${groups} was answered ${answer.status()}`);
    }
    const nobody = await open({});
    const answer = await nobody.goto(home);
    holds(answer.status() === 403, `who came without the proxy's word was answered ${answer.status()}`);
  },

  "an act of theirs is kept under their name, and only these pages act": async (page) => {
    await play("yunshui", "bank sends first_general");
    await page.goto(new URL("cases?institution=yunshui", home).href);
    await page.locator("#row-1").click();
    const post = (headers) => fetch(`${page.url()}/unmask`, {
      method: "POST",
      headers: { "x-forwarded-user": "wang@example", "x-forwarded-groups": "directlink-operators", ...headers },
    });
    // Without the cookie that only these pages have, and from nowhere.
    holds((await post({ origin: new URL(home).origin.replace("http:", "https:") })).status === 403, "an act without the cookie");
    holds((await post({ cookie: "directlink_here=yes" })).status === 403, "an act from nowhere");
    await page.locator("#unmask").click();
    await page.locator("#personal", { hasText: "已记录" }).waitFor();
    await page.locator("#mask").click();
    await page.locator("#timeline tr.of-act", { hasText: "unmask · wang@example" }).waitFor();
  },
}, says("wang@example", "directlink-operators"));
