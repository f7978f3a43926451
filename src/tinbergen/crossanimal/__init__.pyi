from .config import CrossAnimalConfig as CrossAnimalConfig
from .model import CrossAnimal as CrossAnimal
from .pairs import Animal as Animal
from .pairs import animals_of as animals_of
