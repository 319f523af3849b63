"""What people trust teaches what fits: filters learned from pairs, rewards learned from ranked captions."""
