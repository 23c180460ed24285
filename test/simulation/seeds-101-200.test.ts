import { testSeeds } from './seed-range.ts';

testSeeds(101, 200);
