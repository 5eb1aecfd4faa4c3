// Shows instants in the reader's zone, and the exact one on hover.
const zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.dateTime;
  time.textContent = zoned.format(new Date(time.dateTime));
}
