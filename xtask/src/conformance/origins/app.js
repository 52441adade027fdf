// Says what it was asked: see apps.py. `node app.js PORT`.
require("http")
  .createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const body = Buffer.concat(pieces);
      const sum = body.reduce((sum, byte) => sum + byte, 0);
      response.end(`saw ${request.method} ${body.length} ${sum}\n`);
    });
    request.on("error", () => {});
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
