// A wire between browser and portal that a test can cut: an HTTP proxy. What the browser's own "offline" leaves open (an event stream) ends too.
import http from 'node:http';

/** Starts one on a free port. `proxy` is for `browser.newContext`; `cut()` ends every connection and answers none until `mend()`. */
export async function wire() {
  let whole = true;
  const server = http.createServer((asked, answer) => {
    const on = http.request(asked.url, { method: asked.method, headers: asked.headers, agent: false }, (got) => {
      answer.writeHead(got.statusCode, got.rawHeaders);
      got.on('error', () => answer.destroy());
      got.pipe(answer);
    });
    on.on('error', () => answer.destroy());
    answer.on('close', () => on.destroy());
    asked.pipe(on);
  });
  server.on('connection', (socket) => whole || socket.destroy());
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    // Chromium asks no proxy for this machine's own addresses unless it is told to.
    proxy: { server: `http://127.0.0.1:${server.address().port}`, bypass: '<-loopback>' },
    cut() {
      whole = false;
      server.closeAllConnections();
    },
    mend() {
      whole = true;
    },
    close: () => new Promise((closed) => {
      server.close(closed);
      server.closeAllConnections();
    }),
  };
}
