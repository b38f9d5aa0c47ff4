// Reads a .env file with one of the versions of Node's dotenv and prints it as JSON.
const fs = require('fs')
const [, , reader, path] = process.argv
process.stdout.write(JSON.stringify(require(reader).parse(fs.readFileSync(path))))
