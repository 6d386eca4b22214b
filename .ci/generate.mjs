// npm run generate: writes every file that is derived from the source and committed.
//
// native/door/index.d.ts comes out of the build itself; the rest is asked of the built program.

