// What a page does with a server, one entry of the report each.

const bytes = (length) => Uint8Array.from({ length }, (_, at) => at % 251);

const text = async (target, options) => (await fetch(target, options)).text();

const tasks = {
  // Scripts and a style sheet that the page names.
  async parts() {
    const color = getComputedStyle(document.body).color;
    return `${scripts} scripts, ${color}`;
  },

  async parallel() {
    const sizes = await Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const response = await fetch(`/file?${at}`);
        return (await response.arrayBuffer()).byteLength;
      }),
    );
    return `${sizes.length} files, ${sizes.reduce((sum, size) => sum + size)} bytes`;
  },

  async upload() {
    return text("/upload", { method: "POST", body: bytes(3_000_000) });
  },

  async form() {
    const form = new FormData();
    form.append("text", "b");
    form.append("file", new Blob([bytes(100_000)]), "a.bin");
    return text("/form", { method: "POST", body: form });
  },

  // A body that is made while it is sent; browsers send it by HTTP/2 only.
  async streamed_upload() {
    let left = 10;
    const body = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(bytes(50_000));
        else controller.close();
      },
    });
    return text("/streamed-upload", { method: "POST", body, duplex: "half" });
  },

  // Each piece is sent after the one before it has been read.
  async streamed_response() {
    const reader = (await fetch("/stream")).body.getReader();
    const decoder = new TextDecoder();
    let all = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return all;
      all += decoder.decode(value);
      await text("/next", { method: "POST" });
    }
  },

  async events() {
    return new Promise((resolve, reject) => {
      const all = [], source = new EventSource("/events");
      source.onmessage = ({ data }) => {
        all.push(data);
        if (all.length === 3) {
          source.close();
          resolve(all.join(" "));
        }
      };
      source.onerror = () => reject(new Error(`events end after ${all.length}`));
    });
  },

  async websocket() {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`wss://${location.host}/socket`, ["chat", "talk"]);
      const all = [];
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        all.push(socket.protocol);
        socket.send("first");
        socket.send(bytes(200_000));
        socket.send("last");
      };
      socket.onmessage = ({ data }) => {
        all.push(typeof data === "string" ? data : `${data.byteLength} bytes`);
        if (data === "last") socket.close(1000, "done");
      };
      socket.onclose = ({ code, reason, wasClean }) =>
        resolve(`${all.join(" ")}, ${code} ${reason} ${wasClean}`);
      socket.onerror = () => reject(new Error("the socket fails"));
    });
  },

  async refused_websocket() {
    return new Promise((resolve) => {
      const socket = new WebSocket(`wss://${location.host}/refused`);
      socket.onopen = () => resolve("open");
      socket.onclose = ({ code }) => resolve(`closed ${code}`);
    });
  },

  async statuses() {
    const moved = await fetch("/moved");
    const none = await fetch("/none");
    const first = await fetch("/file");
    const condition = { "If-None-Match": first.headers.get("etag") };
    const again = await fetch("/file", { headers: condition });
    return `${moved.redirected} ${await moved.text()} ${none.status} ${again.status}`;
  },

  async aborted() {
    const controller = new AbortController();
    const response = await fetch("/endless", { signal: controller.signal });
    const reader = response.body.getReader();
    await reader.read();
    controller.abort();
    return reader.read().then(
      () => "read",
      (error) => error.name,
    );
  },
};

addEventListener("load", async () => {
  const report = {};
  for (const [name, task] of Object.entries(tasks)) {
    try {
      report[name] = await task();
    } catch (error) {
      report[name] = String(error);
    }
  }
  const entries = performance.getEntriesByType("resource");
  const others = entries.filter((entry) => entry.nextHopProtocol !== "h2" && entry.transferSize);
  report.protocols = others.map((entry) => `${entry.name} ${entry.nextHopProtocol}`).join(" ");
  await fetch("/result", { method: "POST", body: JSON.stringify(report) });
});
