"""Built-in readers and writers: images by OpenCV and Pillow, video by PyAV."""
