// A filing that waits for its office is the only application that is kept: sealed, masked on its page, and shown to an
// operator alone, which is kept too.

import { fits, holds, picture, play, tell, withCertificate } from "./stage.mjs";

const home = process.env.CONSOLE;
const { origin } = new URL(home);
const personal = ["甄砚秋", "140105198803124029", "1,200,000.00"];

await tell("waiting", {
  "an application that waits is masked whole, shown to who asks, and that is kept": async (page) => {
    await play("yunshui", "bank sends first_general");
    await play("yunshui", "bank hears outcome status=QUEUED_OUT_OF_HOURS");
    await page.goto(new URL("cases?state=queued", home).href);
    await page.locator("#row-1").click();
    await page.locator("#status", { hasText: "待开门" }).waitFor();
    await page.locator("#personal", { hasText: "抵押人" }).waitFor();
    const masked = await page.content();
    for (const words of personal) holds(!masked.includes(words), `${words} is not masked`);
    await page.locator("#unmask").click();
    const shown = page.locator("#personal", { hasText: "已记录" });
    for (const words of personal) await shown.filter({ hasText: words }).waitFor();
    await fits(page);
    await picture(page, "waiting-1-unmasked");
    await page.locator("#mask").click();
    await page.locator("#timeline tr.of-act", { hasText: "unmask · wang" }).waitFor();
    await page.setViewportSize({ width: 390, height: 844 });
    await fits(page);
    await picture(page, "waiting-2-narrow");
  },
}, withCertificate(origin, "wang"));
