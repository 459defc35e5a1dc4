set(files child.cpp
  digests.cpp
  make_record.cpp
  plan.cpp
  stage.cpp
  work_folder.cpp)
