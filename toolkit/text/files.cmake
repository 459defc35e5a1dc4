set(files)
