"""Tables, the engine with each dialect's facts, migrations."""
