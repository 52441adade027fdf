// Evaluates flags with flagd's own evaluator for JavaScript: one question a line on standard input, one answer a line on
// standard output. A question has definitions, the flag, the kind of value, the time and contexts.

const { FlagdCore } = require('@openfeature/flagd-core');
const lines = require('readline').createInterface({ input: process.stdin, terminal: false });

const silent = { error() {}, warn() {}, info() {}, debug() {} };
const methods = {
  bool: 'resolveBooleanEvaluation',
  string: 'resolveStringEvaluation',
  number: 'resolveNumberEvaluation',
  object: 'resolveObjectEvaluation',
};

lines.on('line', (line) => {
  const { definitions, flag, kind, now, contexts } = JSON.parse(line);
  Date.now = () => now * 1000;
  const evaluator = new FlagdCore(undefined, silent);
  let answers;
  try {
    evaluator.setConfigurations(JSON.stringify(definitions));
    answers = contexts.map((context) => {
      try {
        const { value, variant, reason, errorCode } = evaluator[methods[kind]](flag, null, context, silent);
        return { value, variant, reason, error: errorCode };
      } catch (error) {
        return { crashed: String(error) };
      }
    });
  } catch (error) {
    answers = contexts.map(() => ({ refused: String(error) }));
  }
  process.stdout.write(JSON.stringify(answers) + '\n');
});
