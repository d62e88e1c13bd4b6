package senderauth

// ResultKey is where a transaction keeps its Result.
var ResultKey any = resultKey{}
