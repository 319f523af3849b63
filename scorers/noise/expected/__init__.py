"""What most people would say of an item, from models of their answers and the answers there are."""
