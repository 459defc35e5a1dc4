set(files dtype.cpp error.cpp file.cpp interrupt.cpp json.cpp json_parse.cpp log.cpp printable.cpp progress.cpp
          regex.cpp)
