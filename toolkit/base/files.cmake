set(files byte_size.cpp direct_io.cpp dtype.cpp error.cpp file.cpp interrupt.cpp json.cpp json_parse.cpp log.cpp module_name.cpp
          output_file.cpp printable.cpp progress.cpp regex.cpp sha256.cpp)
