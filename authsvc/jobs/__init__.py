"""The worker: what happens without anybody asking for it. Every job may be repeated or lost without harm."""
