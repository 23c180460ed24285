import { testSeeds } from './seed-range.ts';

testSeeds(201, 300);
