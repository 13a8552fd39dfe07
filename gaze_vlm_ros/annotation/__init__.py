"""Labels that come after the recording: imported, described by a model, reviewed. They lie beside the bag."""
