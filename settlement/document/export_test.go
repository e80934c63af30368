package document

// Deflate is the encoder of every stream, for the tests of whole documents.
var Deflate = deflate
