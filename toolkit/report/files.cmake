set(files chart.cpp comparison.cpp curves.cpp documents.cpp html.cpp kept.cpp layers.cpp node.cpp numbers.cpp
          picture_copies.cpp pictures.cpp report.cpp runs.cpp saved_pictures.cpp script.cpp settings.cpp speed.cpp style.cpp verdict.cpp)
