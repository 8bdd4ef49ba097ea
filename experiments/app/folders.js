// Takes the files out of folders that are dropped on a place for several files; Gradio takes files.
const entriesOf = (reader) => new Promise((done, failed) => reader.readEntries(done, failed));
const fileOf = (entry) => new Promise((done, failed) => entry.file(done, failed));

async function filesIn(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [await fileOf(entry)];
  const files = [], reader = entry.createReader();
  for (let some; (some = await entriesOf(reader)).length; ) {  // a browser gives 100 at a time
    for (const one of some) files.push(...(await filesIn(one)));
  }
  return files;
}

document.addEventListener("drop", async (event) => {
  const input = event.target.closest?.("#pictures, #own")?.querySelector("input[type=file]");
  const entries = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry());
  if (!input || !entries.some((one) => one?.isDirectory)) return;
  event.preventDefault();
  event.stopPropagation();
  event.target.dispatchEvent(new Event("dragleave", { bubbles: true }));  // for its colour
  const taken = new DataTransfer();
  for (const one of entries) (await filesIn(one)).forEach((file) => taken.items.add(file));
  if (!taken.files.length) taken.items.add(new File([], entries[0].name));  // to be told so
  input.files = taken.files;
  input.dispatchEvent(new Event("change"));
}, true);
