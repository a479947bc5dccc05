"""Rigged 3D characters as cel animation: files to poses (numpy), poses to drawings (OpenGL), drawings to clips."""
