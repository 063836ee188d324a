// What can be wrong with a file, in words that end a sentence: "a.ply cannot be shown: …".

export class FileProblem extends Error {}
