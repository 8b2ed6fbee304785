-- Room on each page for the next version of a conversation: an update then changes no index.
ALTER TABLE conversation SET (fillfactor = 70);
