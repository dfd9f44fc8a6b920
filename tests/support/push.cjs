// Pushes with the official ollama client of npm: node push.cjs HOST MODEL STREAM. Prints its answers, or its error, as JSON.
const { Ollama } = require("ollama");

async function main([host, model, stream]) {
  const client = new Ollama({ host });
  const request = { model, stream: stream === "true", ...JSON.parse(process.env.FIELDS || "{}") };
  try {
    const answer = await client.push(request);
    const answers = [];
    if (request.stream) for await (const part of answer) answers.push(part);
    else answers.push(answer);
    console.log(JSON.stringify({ answers }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message, name: error.name, status: error.status_code ?? null }));
  }
}

main(process.argv.slice(2));
