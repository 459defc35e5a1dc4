set(files frames.cpp jpeg.cpp picture.cpp png.cpp resize.cpp video.cpp)
