package archive

// infoSeparator stands between a file's name and its flags; no name can have a colon here.
const infoSeparator = ";"
