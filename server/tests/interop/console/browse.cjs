// What a user does with the console, step by step. Each step says what holds; the first that does not ends the run.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const { USERS, OPEN, CHROMIUM, PICTURES, QUICK } = process.env;
const PAGE_BYTES_MAX = 60_000;
const PICTURE_BYTES_MAX = 150_000;
const WIDTH = 1100;
const V2 = "application/vnd.kafka.v2+json";
const JSON_V2 = "application/vnd.kafka.json.v2+json";

const basic = (user, password) => "Basic " + Buffer.from(`${user}:${password}`).toString("base64");
const admin = { Authorization: basic("admin", "hunter2") };

async function rest(method, place, type, body) {
  const answer = await fetch(USERS + place, { method, headers: { ...admin, "Content-Type": type }, body: body && JSON.stringify(body) });
  assert(answer.ok, `${method} ${place}: ${answer.status} ${await answer.clone().text()}`);
  const text = await answer.text();
  return text === "" ? null : JSON.parse(text);
}

const orders = (from, count) => Array.from({ length: count }, (_, at) => {
  const id = from + at;
  return { key: `customer-${id % 17}`, value: { order: id, item: ["rope", "lamp", "anchor"][id % 3], amount: (id * 37) % 400 } };
});

const produce = (topic, records) => rest("POST", `/topics/${topic}`, JSON_V2, { records });

// Something to look at.
async function prepare() {
  for (const [name, count] of [["orders", 4], ["payments", 2], ["audit-log", 1]]) {
    await rest("POST", "/admin/topics", "application/json", { topic_name: name, partitions_count: count });
  }
  for (let from = 0; from < 5_000; from += 1_000) await produce("orders", orders(from, 1_000));
  await produce("payments", orders(0, 300));
  await produce("audit-log", [{ key: "<b>key</b>", value: "<script>document.title='owned'</script>" }]);
  // The same orders by a schema, which then gets a field more.
  const type = (...more) => JSON.stringify({
    type: "record", name: "Shipment", namespace: "shop",
    fields: [{ name: "order", type: "long" }, { name: "port", type: "string" }, ...more],
  });
  const shipments = Array.from({ length: 40 }, (_, at) => ({ value: { order: at, port: ["Hull", "Leith", "Oban"][at % 3] } }));
  await rest("POST", "/admin/topics", "application/json", { topic_name: "shipments", partitions_count: 1 });
  await rest("POST", "/topics/shipments", "application/vnd.kafka.avro.v2+json", { value_schema: type(), records: shipments });
  const more = { name: "insured", type: "boolean", default: false };
  await rest("POST", "/subjects/shipments-value/versions", "application/json", { schema: type(more) });
  await rest("POST", "/consumers/billing", "application/json", { name: "one", format: "json", "auto.offset.reset": "earliest" });
  const at = "/consumers/billing/instances/one";
  await rest("POST", `${at}/subscription`, V2, { topics: ["orders", "payments"] });
  const read = await fetch(`${USERS}${at}/records?timeout=10000&max_bytes=20000`, { headers: { ...admin, Accept: JSON_V2 } });
  assert((await read.json()).length > 0);
  await rest("POST", `${at}/offsets`, V2);
}

let checked = 0;

// A page that was opened: small, and readable by all, or as far as `rules` of axe look.
async function check(page, name, rules) {
  const timing = await page.evaluate(() => {
    const [entry] = performance.getEntriesByType("navigation");
    return { bytes: entry.decodedBodySize, first: entry.responseStart - entry.requestStart };
  });
  assert(timing.bytes <= PAGE_BYTES_MAX, `${name} has ${timing.bytes} bytes`);
  await page.evaluate(axe);
  const options = rules ? { runOnly: rules } : {};
  const found = await page.evaluate((it) => globalThis.axe.run(it), options);
  const words = found.violations.map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(words, [], `axe has found something on ${name}`);
  checked += 1;
  return timing;
}

// A window for a user, whose every complaint is kept.
async function open(browser, base, more) {
  const context = await browser.newContext({ baseURL: base, viewport: { width: WIDTH, height: 760 }, ...more });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    // A refusal that a step provokes is told by the browser as well.
    if (message.type() === "error" && !/status of (403|404|409|422)/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { context, page, complaints };
}

const asAdmin = { httpCredentials: { username: "admin", password: "hunter2" } };

async function everyPage(browser) {
  const places = [
    ["overview", "/console"], ["topics", "/console/topics"], ["topic", "/console/topics/orders"],
    ["messages", "/console/topics/orders/messages?from=start"], ["message", "/console/topics/orders/message?partition=0&offset=3"],
    ["topic-groups", "/console/topics/orders/groups"], ["topic-settings", "/console/topics/orders/settings"], ["new-topic", "/console/new-topic"],
    ["by-schema", "/console/topics/shipments/messages"], ["by-schema-alone", "/console/topics/shipments/message?partition=0&offset=3"],
    ["schemas", "/console/schemas"], ["schema", "/console/schema?subject=shipments-value"],
    ["schema-changes", "/console/schema?subject=shipments-value&version=2&against=1"],
    ["groups", "/console/groups"], ["group", "/console/group?id=billing"], ["reset", "/console/group/reset?id=billing&to=earliest"],
    ["transactions", "/console/transactions"], ["settings", "/console/settings"], ["access", "/console/access"], ["audit", "/console/audit"],
  ];
  for (const colorScheme of ["light", "dark"]) {
    const { context, page, complaints } = await open(browser, USERS, { ...asAdmin, colorScheme });
    // What is not colour is the same in the dark, and these have all colours.
    const isShort = QUICK && colorScheme === "dark";
    const rules = isShort ? ["color-contrast"] : undefined;
    for (const [name, place] of places) {
      if (isShort && !["overview", "topics", "topic", "by-schema", "schema-changes", "group", "settings"].includes(name)) continue;
      await page.goto(place);
      const { first } = await check(page, `${name}, ${colorScheme}`, rules);
      console.log(`${name} ${colorScheme}: first byte after ${first.toFixed(1)} ms`);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  }
  // A small window: tables are scrolled, pages are not.
  const { context, page } = await open(browser, USERS, { ...asAdmin, viewport: { width: 390, height: 800 } });
  for (const [name, place] of places) {
    await page.goto(place);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(wide <= 0, `${name} is ${wide} px wider than a small window`);
  }
  await context.close();
}

async function byKeys(browser) {
  const { context, page } = await open(browser, USERS, asAdmin);
  await page.goto("/console");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.goto("/console");
  for (let at = 0; at < 20 && (await page.evaluate(() => document.activeElement.textContent)) !== "Topics"; at += 1) await page.keyboard.press("Tab");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(outline, "none", "one sees where one is");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/topics");
  await page.getByRole("link", { name: "orders", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/topics/orders");
  await context.close();
}

async function withoutScript(browser) {
  const { context, page, complaints } = await open(browser, USERS, { ...asAdmin, javaScriptEnabled: false });
  await page.goto("/console/topics/orders/messages");
  await page.getByLabel("From").selectOption("offset");
  await page.getByLabel("Offset", { exact: true }).fill("40");
  await page.getByLabel("Partition").fill("1");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("link", { name: "40", exact: true }).click();
  await page.getByRole("heading", { name: "Partition 1, offset 40" }).waitFor();
  await page.goto("/console/topics/audit-log/messages");
  assert.equal(await page.title(), "audit-log - Strandline", "what a record says is no script");
  await page.getByText("<script>document.title='owned'</script>").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
}

async function live(browser) {
  const { context, page, complaints } = await open(browser, USERS, asAdmin);
  await page.goto("/console/topics/orders/messages");
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("listening").waitFor();
  const count = QUICK ? 2_000 : 50_000;
  for (let from = 0; from < count; from += 1_000) await produce("orders", orders(from, 1_000));
  const told = `${count} shown of ${count} that came, 0 skipped`;
  await page.getByText(told).waitFor({ timeout: 30_000 });
  assert((await page.locator("#live tbody tr").count()) === 500);
  await check(page, "live");
  // The broker closes the connection; the view comes back, and has what came meanwhile.
  await context.setOffline(true);
  await produce("orders", orders(0, 50));
  await context.setOffline(false);
  await page.getByText(`${count + 50} that came, 0 skipped`).waitFor({ timeout: 30_000 });
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("stopped").waitFor();
  assert.deepEqual(complaints.filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED")), []);
  await context.close();
}

async function schemas(browser) {
  const { context, page, complaints } = await open(browser, USERS, asAdmin);
  await page.goto("/console/topics/shipments/messages?from=start");
  await page.getByText('{"order":3,"port":"Hull"}').waitFor();
  await page.getByRole("link", { name: "Avro, schema 1" }).first().click();
  await page.getByRole("heading", { name: "shipments-value" }).waitFor();
  await page.getByLabel("Version", { exact: true }).selectOption("2");
  await page.getByLabel("Changes since").selectOption("1");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText("5 lines added, 0 lines removed.").waitFor();
  assert.match(await page.locator("ins").first().textContent(), /^\+ /);
  await page.goto("/console/topics/shipments/messages");
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("listening").waitFor();
  const records = [{ value: { order: 77, port: "Lowestoft" } }];
  await rest("POST", "/topics/shipments", "application/vnd.kafka.avro.v2+json", { value_schema_id: 1, records });
  await page.locator("#live").getByText('{"order":77,"port":"Lowestoft"}').waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
}

async function oneMessage(browser) {
  const { context, page, complaints } = await open(browser, USERS, { ...asAdmin, permissions: ["clipboard-read", "clipboard-write"] });
  await page.goto("/console/topics/orders/message?partition=0&offset=0");
  await page.getByRole("button", { name: "Copy the value" }).click();
  await page.getByText("copied").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert(JSON.parse(copied).item, copied);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download the value" }).click()]);
  assert.equal(fs.readFileSync(await download.path(), "utf8"), copied);
  await page.getByLabel("To the topic").fill("payments");
  await page.getByLabel("append it once more").check();
  await page.getByRole("button", { name: "Replay" }).click();
  await page.waitForURL("**/payments/message**");
  assert.equal(await page.locator("pre.value").textContent(), copied, "the same value, in the other topic");
  assert.deepEqual(complaints, []);
  await context.close();
}

async function changes(browser) {
  const { context, page, complaints } = await open(browser, USERS, asAdmin);
  await page.goto("/console/new-topic");
  await page.getByLabel("Name").fill("fresh");
  await page.getByLabel("Partitions", { exact: true }).fill("3");
  await page.getByLabel("Settings, one a line").fill("retention.ms=1000000");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.waitForURL("**/console/topics/fresh");
  await page.getByRole("link", { name: "Settings" }).last().click();
  await page.getByText("1000000").waitFor();
  await page.getByLabel("Setting", { exact: true }).fill("retention.ms");
  await page.getByLabel("Value", { exact: true }).fill("2000000");
  await page.getByRole("button", { name: "Set it" }).click();
  await page.getByText("The setting is changed.").waitFor();
  await page.getByText("2000000").waitFor();
  await page.goto("/console/topics/fresh");
  await page.getByLabel("Type its name to delete it").fill("orders");
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("it is not deleted").waitFor();
  await page.goto("/console/topics/fresh");
  await page.getByLabel("Type its name to delete it").fill("fresh");
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.waitForURL("**/console/topics");
  assert.equal(await page.getByText("fresh").count(), 0);

  await rest("DELETE", "/consumers/billing/instances/one", V2);
  await page.goto("/console/group?id=billing");
  await page.getByLabel("To", { exact: true }).selectOption("latest");
  await page.getByRole("button", { name: "Show what it would do" }).click();
  await page.getByText("Nothing is changed yet.").waitFor();
  await page.getByRole("button", { name: "Commit these offsets" }).click();
  await page.getByText("The offsets are committed.").waitFor();
  await page.getByText("0 records", { exact: true }).waitFor();

  await page.goto("/console/access");
  await page.getByLabel("Principal").last().fill("User:bob");
  await page.getByLabel("Its name").fill("orders");
  await page.getByRole("button", { name: "Add" }).click();
  await page.getByText("The permissions are changed.").waitFor();
  await check(page, "access with permissions");
  await page.goto("/console/audit");
  for (const what of ["create topic fresh", "delete topic fresh", "reset group billing", "replay orders-0", "add permission TOPIC orders"]) {
    await page.getByText(what).first().waitFor();
  }
  await check(page, "audit with changes");
  assert.deepEqual(complaints, []);
  await context.close();

  // A user with fewer rights sees what it may, and is refused by the broker.
  const bob = await open(browser, USERS, { httpCredentials: { username: "bob", password: "builder" } });
  await bob.page.goto("/console/topics");
  assert.equal(await bob.page.getByRole("link", { name: "payments" }).count(), 0);
  await bob.page.getByRole("link", { name: "orders" }).click();
  await bob.page.getByLabel("Type its name to delete it").fill("orders");
  await bob.page.getByRole("button", { name: "Delete", exact: true }).click();
  await bob.page.getByRole("heading", { name: "Forbidden" }).waitFor();
  await check(bob.page, "a refusal");
  await bob.context.close();
}

async function readOnly(browser) {
  const { context, page, complaints } = await open(browser, OPEN, {});
  await page.goto("/");
  await page.waitForURL("**/console");
  await page.getByText("nobody has logged in").waitFor();
  await page.goto("/console/new-topic");
  await page.getByText("log in").first().waitFor();
  assert.equal(await page.locator("form[method=post]").count(), 0);
  assert.deepEqual(complaints, []);
  await context.close();
}

// With 10,000 partitions, by plain requests: the time of a browser's own work is not in it.
async function manyPartitions() {
  await rest("POST", "/admin/topics", "application/json", { topic_name: "many", partitions_count: 10_000 });
  for (const place of ["/console", "/console/topics", "/console/topics/many", "/console/topics/many/messages", "/console/groups"]) {
    const times = [];
    for (let at = 0; at < 15; at += 1) {
      const began = performance.now();
      const answer = await fetch(USERS + place, { headers: admin });
      times.push(performance.now() - began);
      assert.equal(answer.status, 200);
      assert((await answer.text()).length <= PAGE_BYTES_MAX);
    }
    times.sort((one, other) => one - other);
    const median = times[7];
    console.log(`${place} with 10,000 partitions: first byte after ${median.toFixed(1)} ms (median of 15)`);
  }
}

// What docs/console.md and README.md show.
async function pictures(browser) {
  const windows = {};
  for (const colorScheme of ["light", "dark"]) {
    windows[colorScheme] = await open(browser, USERS, { ...asAdmin, colorScheme, viewport: { width: 1000, height: 620 } });
  }
  const take = async (name, colorScheme, height) => {
    const { page } = windows[colorScheme];
    if (height) await page.setViewportSize({ width: 1000, height });
    const file = path.join(PICTURES, `console-${name}.png`);
    await page.screenshot({ path: file });
    const { size } = fs.statSync(file);
    assert(size < PICTURE_BYTES_MAX, `${file} has ${size} bytes`);
  };
  const { light, dark } = windows;
  await light.page.goto("/console");
  await take("overview", "light");
  await dark.page.goto("/console/group?id=billing");
  await take("group", "dark");
  await light.page.goto("/console/topics/shipments/messages?from=start");
  await take("messages", "light");
  await light.page.goto("/console/schema?subject=shipments-value&version=2&against=1");
  await take("schema", "light");
  await dark.page.goto("/console/topics/orders/messages");
  await dark.page.getByRole("button", { name: "Start" }).click();
  await dark.page.getByText("listening").waitFor();
  await produce("orders", orders(0, 1_000));
  await dark.page.getByText("1000 shown of 1000 that came, 0 skipped; listening").waitFor();
  await dark.page.evaluate(() => document.getElementById("live").scrollIntoView());
  await take("live", "dark", 420);
  await light.context.close();
  await dark.context.close();
}

async function main() {
  await prepare();
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  try {
    for (const step of [everyPage, byKeys, withoutScript, live, schemas, oneMessage, pictures, changes, readOnly]) {
      const began = performance.now();
      await step(browser);
      console.log(`${step.name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    }
    await manyPartitions();
  } finally {
    await browser.close();
  }
  console.log(`${checked} pages, and axe has found nothing`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
