from .measure import measure_plate as measure_plate
from .napari_window import NapariWindow as NapariWindow
from .napari_window import open_in_napari as open_in_napari
