# Writes each block of a page that opens with "```cpp NAME" to folder/NAME.
/^```cpp [a-z_.]+$/ { file = folder "/" $2; printf "" > file; next }
/^```/ { file = "" }
file != "" { print > file }
