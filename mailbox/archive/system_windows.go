package archive

// infoSeparator stands between a file's name and its flags; no name can have a colon here.
const infoSeparator = ";"

// notInFileNames are characters that the system's file names cannot have.
const notInFileNames = `<>:"\|?*`
