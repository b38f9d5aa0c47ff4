// Reads a .env file with one of the versions of Node's dotenv and prints it as JSON.
const fs = require('fs')
const [, , module, path] = process.argv
process.stdout.write(JSON.stringify(require(module).parse(fs.readFileSync(path))))
